"""What ProactiveVideoQA's evaluation is made of; `benchmarks.proactivevideoqa` is the benchmark."""
