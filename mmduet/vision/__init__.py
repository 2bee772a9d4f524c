"""Vision towers: pixel values of a frame to features.

towers        TOWERS by the model_type of their configs; SigLIP
efficientnet  EfficientNet-Lite0, a small network of PyPI
concepts      the same network with its classifier: features that are names
pooling       FramePool: fewer tokens a frame
"""
