"""Kinds of things: words such as "dog" for many of the classes that a tower with names knows."""

from collections.abc import Sequence

# kind -> numbers of ImageNet's classes, which are ordered by WordNet
_ANIMALS: dict[str, tuple[range, ...]] = {
    "fish": (range(7), range(389, 398)),
    "bird": (range(7, 21), range(22, 25), range(80, 101), range(127, 147)),  # not the kite: it is also a toy
    "frog": (range(30, 33),),
    "turtle": (range(33, 38),),
    "lizard": (range(38, 49),),
    "snake": (range(52, 69),),
    "spider": (range(72, 78),),
    "dog": (range(151, 269),),
    "cat": (range(281, 286),),
    "big cat": (range(286, 294),),
    "bear": (range(294, 298),),
    "insect": (range(300, 327),),
    "butterfly": (range(321, 327),),
    "rabbit": (range(330, 333),),
    "monkey": (range(365, 385),),
}
_THINGS: dict[str, tuple[str, ...]] = {
    "car": (
        "beach wagon", "cab", "convertible", "jeep", "limousine", "minivan", "model t", "racer", "sports car",
    ),
    "truck": ("fire engine", "garbage truck", "moving van", "pickup", "tow truck", "trailer truck"),
    "boat": (
        "canoe", "speedboat", "gondola", "catamaran", "trimaran", "yawl", "lifeboat", "fireboat", "schooner",
    ),
    "aircraft": ("airliner", "airship", "balloon", "warplane"),
    "bicycle": ("mountain bike", "bicycle-built-for-two"),
    "musical instrument": (
        "accordion", "acoustic guitar", "banjo", "bassoon", "cello", "cornet", "drum", "electric guitar", "flute",
        "french horn", "gong", "grand piano", "harmonica", "harp", "maraca", "marimba", "oboe", "ocarina", "organ",
        "panpipe", "sax", "steel drum", "trombone", "upright", "violin",
    ),
    "guitar": ("acoustic guitar", "electric guitar", "banjo"),
    "fruit": (
        "granny smith", "strawberry", "orange", "lemon", "fig", "pineapple", "banana", "jackfruit", "custard apple",
        "pomegranate",
    ),
    "vegetable": (
        "head cabbage", "broccoli", "cauliflower", "zucchini", "spaghetti squash", "acorn squash", "butternut squash",
        "cucumber", "artichoke", "bell pepper", "cardoon",
    ),
    "ball": (
        "baseball", "basketball", "croquet ball", "golf ball", "ping-pong ball", "rugby ball", "soccer ball",
        "tennis ball", "volleyball",
    ),
    "piece of furniture": (
        "bookcase", "china cabinet", "chiffonier", "desk", "dining table", "four-poster", "rocking chair",
        "folding chair", "studio couch", "throne", "wardrobe", "park bench",
    ),
    "chair": ("rocking chair", "folding chair", "throne", "barber chair"),
    "hat": ("bearskin", "bonnet", "cowboy hat", "mortarboard", "shower cap", "sombrero", "bathing cap"),
    "shoe": ("clog", "cowboy boot", "loafer", "running shoe", "sandal"),
    "computer": ("desktop computer", "laptop", "notebook", "hand-held computer"),
    "tool": ("hammer", "screwdriver", "shovel", "plunger", "chain saw", "power drill", "plane", "hatchet"),
    "clock": ("analog clock", "digital clock", "wall clock", "stopwatch", "digital watch"),
    "building": (
        "barn", "castle", "church", "mosque", "palace", "monastery", "library", "greenhouse", "boathouse", "temple",
    ),
    "drink": ("espresso", "eggnog", "red wine", "cup of coffee"),
    "dish": (
        "pizza", "cheeseburger", "hotdog", "burrito", "guacamole", "consomme", "hot pot", "trifle", "ice cream",
        "meat loaf", "potpie", "carbonara",
    ),
    "mushroom": ("agaric", "gyromitra", "stinkhorn", "earthstar", "hen-of-the-woods", "bolete", "mushroom"),
    "bag": ("backpack", "purse", "mailbag", "plastic bag"),
    "bottle": ("beer bottle", "pop bottle", "water bottle", "wine bottle", "pill bottle"),
    "cup": ("cup", "coffee mug", "cup of coffee", "beer glass", "goblet"),
    "telephone": ("cellular telephone", "dial telephone", "pay-phone"),
    "camera": ("polaroid camera", "reflex camera"),
    "lamp": ("table lamp", "candle", "torch", "spotlight"),
    "plant": ("daisy", "flower", "yellow lady's slipper", "pot"),
}  # fmt: skip


def classes_of(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the classes of each kind, by the kind's word.

    Args:
        names: The name of each class, ImageNet's 1,000 first.

    Raises:
        ValueError: A class of a kind is not among the names.
    """
    found = {kind: tuple(number for part in parts for number in part) for kind, parts in _ANIMALS.items()}
    for kind, things in _THINGS.items():
        found[kind] = tuple(number for thing in things for number in _numbers(names, thing))
    return found


def _numbers(names: Sequence[str], thing: str) -> list[int]:
    numbers = [number for number, name in enumerate(names) if name == thing]
    if not numbers:
        raise ValueError(f"no class is named {thing!r}")
    return numbers


def with_article(name: str) -> str:
    """Return a name with "a" or "an", and without an article where it is a plural or stands for a mass."""
    if (name.endswith("s") and not name.endswith(("ss", "us", "is", "as"))) or name in MASS:
        return name
    return f"an {name}" if name[0] in "aeio" or name.startswith("umb") else f"a {name}"


MASS = {
    "broccoli", "guacamole", "carbonara", "ice cream", "toilet tissue", "velvet", "wool", "red wine", "eggnog",
    "hay", "corn", "gravel", "handwriting", "stained tissue", "espresso", "bubble wrap",
}  # fmt: skip
