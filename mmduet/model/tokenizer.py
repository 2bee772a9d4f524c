"""Tokenizers: a checkpoint's own, read with checks."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mmduet.errors import CheckpointError
from mmduet.files.config_files import check_content, read_settings, understanding
from mmduet.model.prompt import SYSTEM_PROMPT

TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))  # any of these makes one
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a checkpoint's tokenizer. None of the checkpoint's code is run.

    Raises:
        CheckpointError: The files are missing or damaged, or the tokenizer gives no ids for a text.
    """
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        raise CheckpointError(
            f"{folder} has no tokenizer: put the base model's tokenizer.json and tokenizer_config.json there."
        )
    for name in {file for names in TOKENIZERS for file in names} | {*TOKENIZER_SETTINGS}:
        path = folder / name
        if path.is_file():
            check_content(path)
            if name in TOKENIZER_SETTINGS:
                read_settings(path)
    with understanding(folder / "tokenizer.json"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        if not tokenizer(SYSTEM_PROMPT, add_special_tokens=False)["input_ids"]:
            raise CheckpointError(f"{folder}: the tokenizer reads text as nothing: download its files again.")
    return tokenizer
