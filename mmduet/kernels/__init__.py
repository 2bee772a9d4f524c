"""Kernels: what differs by device. A session asks for the strategy that suits its model, and knows no device itself."""

from mmduet.kernels.plain import Kernels as Kernels
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor


def kernels_for(model: DuetForConditionalGeneration, processor: DuetProcessor) -> Kernels:
    """The strategy for a model where it is now."""
    if model.device.type == "cuda":
        from mmduet.kernels.cuda import CudaKernels

        return CudaKernels(model, processor)
    if model.device.type == "cpu":
        from mmduet.kernels.cpu import CpuKernels

        return CpuKernels(model, processor)
    return Kernels(model, processor)
