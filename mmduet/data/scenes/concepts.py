"""What `scenes` shows: photographs, and texts about them."""

import re
from dataclasses import dataclass

from mmduet.system.photographs import PHOTOGRAPHS, Photograph


@dataclass(frozen=True, slots=True)
class Concept:
    """Texts about one photograph.

    Attributes:
        key: The photograph's name.
        captions: Full sentences.
        queries: Phrases that look for it.
        words: A regular expression that finds it in a text.
    """

    key: str
    captions: tuple[str, ...]
    queries: tuple[str, ...]
    words: str

    @property
    def photograph(self) -> Photograph:
        """The photograph."""
        return PHOTOGRAPHS[self.key]

    @property
    def noun(self) -> str:
        """The noun that every text uses for it."""
        return self.photograph.noun

    @property
    def answers(self) -> tuple[str, ...]:
        """Short replies to a question."""
        noun = self.noun
        return (f"It is {noun}.", f"Now {noun}.", f"{noun[0].upper()}{noun[1:]}.", f"I see {noun}.")


_ALL = (
    Concept(
        "astronaut",
        ("An astronaut in an orange suit smiles at the camera.", "A smiling astronaut sits for a portrait.",
         "An astronaut poses in her space suit."),
        ("the astronaut", "an astronaut in an orange suit", "the smiling astronaut"),
        r"astronaut",
    ),
    Concept(
        "bricks",
        ("A brick wall fills the picture.", "Rows of bricks make a wall.", "A wall of grey bricks comes into view."),
        ("the brick wall", "rows of bricks", "a wall made of bricks"),
        r"bricks?",
    ),
    Concept(
        "cat",
        ("A tabby cat looks into the distance.", "The face of a cat with green eyes.",
         "A cat with striped fur is resting."),
        ("the cat", "a tabby cat", "a cat with green eyes"),
        r"cats?",
    ),
    Concept(
        "coffee",
        ("A cup of coffee stands on a wooden table.", "Coffee in a red cup, with a spoon beside it.",
         "Someone has made a cup of coffee."),
        ("the cup of coffee", "coffee in a red cup", "a coffee on the table"),
        r"coffee",
    ),
    Concept(
        "coins",
        ("Rows of old coins lie on a dark cloth.", "A collection of ancient coins.", "Old coins are laid out in rows."),
        ("the old coins", "a collection of coins", "coins in rows"),
        r"coins?",
    ),
    Concept(
        "flower",
        ("An orange flower is in full bloom.", "A round flower with many petals.",
         "A dahlia flower against dark leaves."),
        ("the flower", "an orange flower", "a blooming flower"),
        r"flowers?|dahlia",
    ),
    Concept(
        "galaxies",
        ("Thousands of distant galaxies in a black sky.", "Deep space, full of galaxies.",
         "Galaxies shine in the dark of space."),
        ("the distant galaxies", "galaxies in deep space", "a sky full of galaxies"),
        r"galax(?:y|ies)",
    ),
    Concept(
        "gravel",
        ("A ground covered with gravel.", "Grey gravel, seen from above.", "Gravel lies all over the ground."),
        ("the gravel", "a ground of gravel", "grey gravel"),
        r"gravel",
    ),
    Concept(
        "horse",
        ("The black silhouette of a horse.", "A horse stands still in front of white.",
         "A drawing of a standing horse."),
        ("the horse", "the silhouette of a horse", "a standing horse"),
        r"horses?",
    ),
    Concept(
        "moon",
        ("The grey surface of the moon.", "Craters on the moon.", "The moon, seen from very near."),
        ("the moon", "the surface of the moon", "craters on the moon"),
        r"moon",
    ),
    Concept(
        "motorcycle",
        ("A red motorcycle is parked in a garage.", "A motorcycle stands in front of shelves.",
         "There is a shiny red motorcycle."),
        ("the motorcycle", "a red motorcycle", "a motorcycle in a garage"),
        r"motorcycles?",
    ),
    Concept(
        "page",
        ("A printed page about image segmentation.", "Lines of print on a page.", "A printed page of a book."),
        ("the printed page", "a page of a book", "print on a page"),
        r"page",
    ),
    Concept(
        "photographer",
        ("A photographer in a dark coat at work on a lawn.", "A photographer bends over his tripod.",
         "A photographer looks through the viewfinder."),
        ("the photographer", "a photographer with a tripod", "a photographer at work"),
        r"photographer",
    ),
    Concept(
        "retina",
        ("The retina of an eye, with its blood vessels.", "A round red picture of a retina.",
         "A medical picture of the retina."),
        ("the retina", "the retina of an eye", "blood vessels of a retina"),
        r"retina",
    ),
    Concept(
        "rocket",
        ("A rocket waits on its launch pad at dusk.", "A tall white rocket before its launch.",
         "A rocket stands between towers."),
        ("the rocket", "a rocket on its launch pad", "a tall white rocket"),
        r"rocket",
    ),
    Concept(
        "temple",
        ("A Chinese temple stands above the trees.", "A temple with many roofs beside a lake.",
         "An old temple rises over the water."),
        ("the temple", "a Chinese temple", "a temple with many roofs"),
        r"temple",
    ),
    Concept(
        "tissue",
        ("Stained tissue under a microscope.", "Brown and blue tissue, much enlarged.",
         "A microscope picture of body tissue."),
        ("the stained tissue", "tissue under a microscope", "brown and blue tissue"),
        r"tissue",
    ),
    Concept(
        "writing",
        ("Handwriting on squared paper.", "Someone's handwriting in a notebook.", "Lines of handwriting in black ink."),
        ("the handwriting", "handwriting on squared paper", "handwriting in black ink"),
        r"handwriting",
    ),
)  # fmt: skip

CONCEPTS: dict[str, Concept] = {concept.key: concept for concept in _ALL}
_WORDS = {key: re.compile(rf"\b(?:{concept.words})\b", re.IGNORECASE) for key, concept in CONCEPTS.items()}


def concepts_in(text: str) -> set[str]:
    """The concepts a text mentions, by key."""
    return {key for key, words in _WORDS.items() if words.search(text)}
