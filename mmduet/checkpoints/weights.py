"""A checkpoint's safetensors files, checked against their index. Pickled weights are never opened."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open

from mmduet.errors import CheckpointError
from mmduet.files import inside
from mmduet.files.config_files import check_content, checked, read_settings

FLOATS = ("F64", "F32", "F16", "BF16")
PICKLES = ("*.bin", "*.pt", "*.pth")


@dataclass(frozen=True, slots=True)
class Header:
    """A tensor of a file, without its values.

    Attributes:
        file: The file.
        name: The tensor's name in the file.
        shape: The tensor's shape.
        dtype: The tensor's type, in safetensors' spelling: ``F32``.
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


class _Index(BaseModel):
    """The index of several shards. weight_map: tensor -> file."""

    weight_map: dict[str, str]


def read_headers(folder: Path, stem: str) -> dict[str, Header]:
    """List the tensors of a checkpoint: of STEM.safetensors, or of its shards, with or without an index.

    Args:
        folder: The checkpoint.
        stem: The files' name without ending.

    Returns:
        Tensor name -> header.

    Raises:
        CheckpointError: No such file exists, a listed shard or tensor is missing, a file is damaged or a Git LFS
            pointer, or the weights are pickled.
    """
    index, single = folder / f"{stem}.safetensors.index.json", folder / f"{stem}.safetensors"
    shards = sorted(folder.glob(f"{stem}-*-of-*.safetensors"))
    if index.is_file() and single.is_file():
        raise CheckpointError(f"{folder} has both {single.name} and {index.name}: remove the one that is left over.")
    if index.is_file():
        return _indexed(folder, index)
    if single.is_file():
        return _headers([single])
    if shards:
        return _headers(_all_shards(folder, shards))
    raise _no_weights(folder, stem)


def read_tensors(headers: Mapping[str, Header]) -> dict[str, torch.Tensor]:
    """Read the tensors of these headers, by the same keys; they are mapped from their files, not copied."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted({header.file for header in headers.values()}):
        wanted = {key: header for key, header in headers.items() if header.file == path}
        with _opened(path) as file:
            tensors.update({key: file.get_tensor(header.name) for key, header in wanted.items()})
    return tensors


def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], where: str) -> None:
    """Check that tensors are finite.

    Args:
        tensors: (name, tensor) pairs.
        where: What they belong to, for the message.

    Raises:
        CheckpointError: A tensor holds NaN or infinite numbers.
    """
    for name, tensor in tensors:
        total = tensor.detach().sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
        if not total.isfinite():
            raise CheckpointError(
                f"{where}: {name} holds NaN or infinite numbers in {tensor.dtype}: load it with another dtype, or "
                "download it again."
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; CheckpointError if it is damaged, truncated, or a pointer."""
    check_content(path)
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}): download it again.") from error


def _headers(files: Iterable[Path]) -> dict[str, Header]:
    headers: dict[str, Header] = {}
    for path in files:
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if name in headers:
                    raise CheckpointError(f"{name} is in {headers[name].file} and in {path.name}: download both again.")
                found = file.get_slice(name)
                headers[name] = Header(path, name, tuple(found.get_shape()), found.get_dtype())
    return headers


def _indexed(folder: Path, index: Path) -> dict[str, Header]:
    weight_map = checked(index, _Index, read_settings(index)).weight_map
    files = {name: inside(folder, name) for name in sorted(set(weight_map.values()))}
    for name, path in files.items():
        if path is None or path.suffix != ".safetensors":
            raise CheckpointError(
                f"{index} lists {name!r}, which is no safetensors file in its folder: download it again."
            )
        if not path.is_file():
            raise CheckpointError(f"{folder} lacks the shard {name} that {index.name} lists: download it again.")
    headers = _headers(path for path in files.values() if path)
    for tensor, name in weight_map.items():
        if tensor not in headers or headers[tensor].file != files[name]:
            raise CheckpointError(
                f"{folder / name} lacks the tensor {tensor} that {index.name} lists: download it again."
            )
    return headers


def _all_shards(folder: Path, shards: list[Path]) -> list[Path]:
    """Shards without an index: each name says how many there are."""
    count = shards[-1].stem.rpartition("-of-")[2]
    if len(shards) != (int(count) if count.isdigit() else 0):
        raise CheckpointError(
            f"{folder} has {len(shards)} files like {shards[-1].name}, which says {count}, and no index that lists "
            "them: download it again."
        )
    return shards


def _no_weights(folder: Path, stem: str) -> CheckpointError:
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        return CheckpointError(
            f"{folder} has pickled weights ({pickled[0]}), which can run code when read: where you trust them, "
            'convert once with `safetensors.torch.save_file(torch.load(FILE, weights_only=True), "'
            f'{stem}.safetensors")`.'
        )
    return CheckpointError(f"{folder} has no {stem}.safetensors: give the folder that has the weights.")
