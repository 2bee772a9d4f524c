"""Kernels: what differs by device. A session asks for the strategy that suits its model, and knows no device itself."""

from mmduet.errors import DuetError
from mmduet.kernels.plain import Kernels as Kernels
from mmduet.model import DuetForConditionalGeneration
from mmduet.processing import DuetProcessor


def kernels_for(
    model: DuetForConditionalGeneration, processor: DuetProcessor, *, compile_layers: bool = False
) -> Kernels:
    """The strategy for a model where it is now.

    compile_layers: compile what fuses (`mmduet.kernels.cuda.compile_parts`); DuetError where that is not possible.
    """
    if model.device.type == "cuda":
        from mmduet.kernels.cuda import CudaKernels

        return CudaKernels(model, processor, compile_layers=compile_layers)
    if compile_layers:
        raise DuetError(f"compile_layers=True on {model.device}: layers are compiled for CUDA only; leave it out.")
    if model.device.type == "cpu":
        from mmduet.kernels.cpu import CpuKernels

        return CpuKernels(model, processor)
    return Kernels(model, processor)
