"""What both OVO-Bench evaluations share: items, published result files, and how answers are read."""
