"""YAML files: plain values alone, of bounded size, with each key given once."""

import itertools
import re
from pathlib import Path
from typing import Any

import yaml

from mmduet.errors import AnnotationError
from mmduet.files.reading import read_text

MAX_SIZE = 100_000  # characters: at most some seconds of reading
MAX_NODES = 100_000  # keys and values, where an alias counts as all that it stands for
MAX_DEPTH = 50  # levels of nesting, as deep nesting takes long to read


def read_yaml(path: str | Path) -> Any:
    """Read the value in a YAML file.

    1e-5 is a number, as in YAML 1.2, and a date is a text. A key that is given twice is an error.

    Raises:
        AnnotationError: As for `read_text`, or the file is not such YAML, longer than `MAX_SIZE`, deeper than
            `MAX_DEPTH`, or stands for more than `MAX_NODES` values.
    """
    text = read_text(path)
    if len(text) > MAX_SIZE:
        raise AnnotationError(f"{path} has {len(text):,} characters; a YAML file may have {MAX_SIZE:,}: shorten it.")
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        reason = f"{line}{error.problem or error}"
    except RecursionError:
        reason = "it is nested too deeply"
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        reason = str(error)  # an explicit tag, such as !!int, makes PyYAML convert a text without checks
    raise AnnotationError(f"{path} is no readable YAML ({' '.join(reason.split())[:200]}): correct it.")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    depth = 0

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node and _expanded(node, {}) > MAX_NODES:
            raise yaml.YAMLError(f"it stands for more than {MAX_NODES} values")
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise yaml.MarkedYAMLError(problem="half of a surrogate pair is no character", problem_mark=node.start_mark)
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _expanded(node: yaml.Node, counts: dict[int, int]) -> int:
    """How many nodes a node stands for."""
    if id(node) not in counts:
        counts[id(node)] = MAX_NODES + 1  # a node within itself has no end
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        inner = itertools.chain(*parts) if isinstance(node, yaml.MappingNode) else parts
        counts[id(node)] = 1 + sum(_expanded(part, counts) for part in inner)
    return counts[id(node)]
