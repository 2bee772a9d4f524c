"""Qwen2.5-VL as a backbone: MMDuet2, which decides in words, and MMDuet's two heads on it."""

from mmduet.qwen_vl.model import QwenVLHeads, QwenVLWords
from mmduet.qwen_vl.processing import QwenVLProcessor

__all__ = ["QwenVLHeads", "QwenVLProcessor", "QwenVLWords"]
