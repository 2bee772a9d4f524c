"""What `scenes` shows: photographs that scikit-image and scikit-learn carry in their wheels, and texts about them."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_SKIMAGE = ("skimage", "data")
_SKLEARN = ("sklearn", "datasets/images")


@dataclass(frozen=True, slots=True)
class Concept:
    """One photograph, and texts about it.

    Attributes:
        key: Its name.
        place: Package, and folder in it.
        file: The file in that folder.
        noun: The noun that every text uses for it.
        captions: Full sentences.
        queries: Phrases that look for it.
        words: A regular expression that finds it in a text.
        credit: Author and licence.
        mirrored: Whether it may be shown mirrored.
        subject: Left, top, right, bottom of what every view must show, as shares of the picture's width and height.
    """

    key: str
    place: tuple[str, str]
    file: str
    noun: str
    captions: tuple[str, ...]
    queries: tuple[str, ...]
    words: str
    credit: str
    mirrored: bool = True
    subject: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)

    @property
    def path(self) -> Path:
        """The photograph's file, inside the installed wheel."""
        package, folder = self.place
        spec = find_spec(package)
        assert spec is not None  # a dependency of this project
        assert spec.origin is not None
        return Path(spec.origin).parent / folder / self.file

    @property
    def answers(self) -> tuple[str, ...]:
        """Short replies to a question."""
        noun = self.noun
        return (f"It is {noun}.", f"Now {noun}.", f"{noun[0].upper()}{noun[1:]}.", f"I see {noun}.")


_ALL = (
    Concept(
        "astronaut", _SKIMAGE, "astronaut.png", "an astronaut",
        ("An astronaut in an orange suit smiles at the camera.", "A smiling astronaut sits for a portrait.",
         "An astronaut poses in her space suit."),
        ("the astronaut", "an astronaut in an orange suit", "the smiling astronaut"),
        r"astronaut", "NASA, public domain", subject=(0.28, 0.03, 0.72, 0.66),
    ),
    Concept(
        "bricks", _SKIMAGE, "brick.png", "a brick wall",
        ("A brick wall fills the picture.", "Rows of bricks make a wall.", "A wall of grey bricks comes into view."),
        ("the brick wall", "rows of bricks", "a wall made of bricks"),
        r"bricks?", "CC0Textures, CC0",
    ),
    Concept(
        "cat", _SKIMAGE, "chelsea.png", "a cat",
        ("A tabby cat looks into the distance.", "The face of a cat with green eyes.",
         "A cat with striped fur is resting."),
        ("the cat", "a tabby cat", "a cat with green eyes"),
        r"cats?", "Stéfan van der Walt, CC0", subject=(0.2, 0.2, 0.75, 0.85),
    ),
    Concept(
        "coffee", _SKIMAGE, "coffee.png", "a cup of coffee",
        ("A cup of coffee stands on a wooden table.", "Coffee in a red cup, with a spoon beside it.",
         "Someone has made a cup of coffee."),
        ("the cup of coffee", "coffee in a red cup", "a coffee on the table"),
        r"coffee", "Rachel Michetti, CC0", subject=(0.27, 0.05, 0.72, 0.72),
    ),
    Concept(
        "coins", _SKIMAGE, "coins.png", "old coins",
        ("Rows of old coins lie on a dark cloth.", "A collection of ancient coins.", "Old coins are laid out in rows."),
        ("the old coins", "a collection of coins", "coins in rows"),
        r"coins?", "Brooklyn Museum, no known copyright restrictions",
    ),
    Concept(
        "flower", _SKLEARN, "flower.jpg", "a flower",
        ("An orange flower is in full bloom.", "A round flower with many petals.",
         "A dahlia flower against dark leaves."),
        ("the flower", "an orange flower", "a blooming flower"),
        r"flowers?|dahlia", "vultilion, CC BY 2.0", subject=(0.33, 0.2, 0.72, 0.82),
    ),
    Concept(
        "galaxies", _SKIMAGE, "hubble_deep_field.jpg", "distant galaxies",
        ("Thousands of distant galaxies in a black sky.", "Deep space, full of galaxies.",
         "Galaxies shine in the dark of space."),
        ("the distant galaxies", "galaxies in deep space", "a sky full of galaxies"),
        r"galax(?:y|ies)", "NASA/ESA, public domain",
    ),
    Concept(
        "gravel", _SKIMAGE, "gravel.png", "gravel",
        ("A ground covered with gravel.", "Grey gravel, seen from above.", "Gravel lies all over the ground."),
        ("the gravel", "a ground of gravel", "grey gravel"),
        r"gravel", "CC0Textures, CC0",
    ),
    Concept(
        "horse", _SKIMAGE, "horse.png", "a horse",
        ("The black silhouette of a horse.", "A horse stands still in front of white.",
         "A drawing of a standing horse."),
        ("the horse", "the silhouette of a horse", "a standing horse"),
        r"horses?", "Andreas Preuss, CC0", subject=(0.05, 0.02, 0.95, 0.9),
    ),
    Concept(
        "moon", _SKIMAGE, "moon.png", "the moon",
        ("The grey surface of the moon.", "Craters on the moon.", "The moon, seen from very near."),
        ("the moon", "the surface of the moon", "craters on the moon"),
        r"moon", "as scikit-image carries it, author not named", subject=(0.1, 0.08, 0.6, 0.4),
    ),
    Concept(
        "motorcycle", _SKIMAGE, "motorcycle_left.png", "a motorcycle",
        ("A red motorcycle is parked in a garage.", "A motorcycle stands in front of shelves.",
         "There is a shiny red motorcycle."),
        ("the motorcycle", "a red motorcycle", "a motorcycle in a garage"),
        r"motorcycles?", "Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014), as scikit-image carries it",
        subject=(0.2, 0.2, 0.8, 0.85),
    ),
    Concept(
        "page", _SKIMAGE, "page.png", "a printed page",
        ("A printed page about image segmentation.", "Lines of print on a page.", "A printed page of a book."),
        ("the printed page", "a page of a book", "print on a page"),
        r"page", "as scikit-image carries it, author not named", mirrored=False,
    ),
    Concept(
        "photographer", _SKIMAGE, "camera.png", "a photographer",
        ("A photographer in a dark coat at work on a lawn.", "A photographer bends over his tripod.",
         "A photographer looks through the viewfinder."),
        ("the photographer", "a photographer with a tripod", "a photographer at work"),
        r"photographer", "Lav Varshney, CC0", subject=(0.1, 0.13, 0.62, 0.7),
    ),
    Concept(
        "retina", _SKIMAGE, "retina.jpg", "a retina",
        ("The retina of an eye, with its blood vessels.", "A round red picture of a retina.",
         "A medical picture of the retina."),
        ("the retina", "the retina of an eye", "blood vessels of a retina"),
        r"retina", "Mikael Häggström, CC0",
    ),
    Concept(
        "rocket", _SKIMAGE, "rocket.jpg", "a rocket",
        ("A rocket waits on its launch pad at dusk.", "A tall white rocket before its launch.",
         "A rocket stands between towers."),
        ("the rocket", "a rocket on its launch pad", "a tall white rocket"),
        r"rocket", "SpaceX, public domain", subject=(0.42, 0.25, 0.6, 0.97),
    ),
    Concept(
        "temple", _SKLEARN, "china.jpg", "a temple",
        ("A Chinese temple stands above the trees.", "A temple with many roofs beside a lake.",
         "An old temple rises over the water."),
        ("the temple", "a Chinese temple", "a temple with many roofs"),
        r"temple", "danielbuechele, CC BY 2.0", subject=(0.2, 0.05, 0.66, 0.75),
    ),
    Concept(
        "tissue", _SKIMAGE, "ihc.png", "stained tissue",
        ("Stained tissue under a microscope.", "Brown and blue tissue, much enlarged.",
         "A microscope picture of body tissue."),
        ("the stained tissue", "tissue under a microscope", "brown and blue tissue"),
        r"tissue", "Center for Microscopy and Molecular Imaging (CMMI), no known copyright restrictions",
    ),
    Concept(
        "writing", _SKIMAGE, "text.png", "handwriting",
        ("Handwriting on squared paper.", "Someone's handwriting in a notebook.", "Lines of handwriting in black ink."),
        ("the handwriting", "handwriting on squared paper", "handwriting in black ink"),
        r"handwriting", "Wikipedia, public domain", mirrored=False,
    ),
)  # fmt: skip

CONCEPTS: dict[str, Concept] = {concept.key: concept for concept in _ALL}
_WORDS = {key: re.compile(rf"\b(?:{concept.words})\b", re.IGNORECASE) for key, concept in CONCEPTS.items()}


def concepts_in(text: str) -> set[str]:
    """The concepts a text mentions, by key."""
    return {key for key, words in _WORDS.items() if words.search(text)}
