"""Kernels: what differs by device. A session asks for the kernels of its model, and knows no device itself."""

from mmduet.kernels.plain import Kernels as Kernels
from mmduet.model.backbone import Backbone
from mmduet.model.processing import DuetProcessor


def kernels_for(model: Backbone, processor: DuetProcessor) -> Kernels:
    """Return the kernels for a model on its present device."""
    if model.device.type == "cuda":
        from mmduet.kernels.cuda import CudaKernels

        return CudaKernels(model, processor)
    if model.device.type == "cpu":
        from mmduet.kernels.cpu import CpuKernels

        return CpuKernels(model, processor)
    return Kernels(model, processor)
