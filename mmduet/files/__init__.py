"""Files: read with checks, written completely or not at all, and only where the package may write.

Everything that the package writes goes through this folder. A file or folder is written under a temporary name in the
folder of its target, flushed to the disk, and renamed. Temporary names carry this machine and process, so that the next
run can remove what a killed process left.

messages   how errors show a value, a place in a file, a reason
reading    text, JSON and JSON Lines, validated by pydantic types
names      how long they may be
yaml_file  YAML, without what makes YAML dangerous
disk       elementary operations whose errors are FileErrors
temporary  names of temporary files, and their removal
locks      one writer for a file
atomic     files replaced completely or not at all
folders    folders replaced completely or not at all, with a manifest
targets    checks of an output file before any work is done
line_file  JSON Lines files to which lines are appended
"""

from mmduet.files.atomic import (
    replacing,
    replacing_files,
    scratch_folder,
    write_file,
    write_files,
    write_json,
    write_tensors,
)
from mmduet.files.disk import make_folder, remove, unwritable, writing
from mmduet.files.folders import MANIFEST, check_folder, is_complete, publish_folder, replacing_folder
from mmduet.files.line_file import LineFile
from mmduet.files.locks import claim, in_turn, locked
from mmduet.files.messages import place_of, shown
from mmduet.files.reading import inside, read_json, read_jsonl, read_text, validated
from mmduet.files.targets import check_target
from mmduet.files.temporary import clean, is_temporary
from mmduet.files.yaml_file import read_yaml

__all__ = [
    "MANIFEST",
    "LineFile",
    "check_folder",
    "check_target",
    "claim",
    "clean",
    "in_turn",
    "inside",
    "is_complete",
    "is_temporary",
    "locked",
    "make_folder",
    "place_of",
    "publish_folder",
    "read_json",
    "read_jsonl",
    "read_text",
    "read_yaml",
    "remove",
    "replacing",
    "replacing_files",
    "replacing_folder",
    "scratch_folder",
    "shown",
    "unwritable",
    "validated",
    "write_file",
    "write_files",
    "write_json",
    "write_tensors",
    "writing",
]
