"""`scenes`: a generated data set, made of photographs that come with scikit-image and scikit-learn."""
