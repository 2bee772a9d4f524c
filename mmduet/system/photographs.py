"""Photographs that scikit-image and scikit-learn carry in their wheels. `scenes` shows them; `mini` knows them."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_SKIMAGE = ("skimage", "data")
_SKLEARN = ("sklearn", "datasets/images")


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph.

    Attributes:
        key: Its name.
        place: Package, and folder in it.
        file: The file in that folder.
        noun: What it shows, with an article.
        credit: Author and licence.
        mirrored: Whether it may be shown mirrored.
        subject: Left, top, right, bottom of what every view must show, as shares of the picture's width and height.
    """

    key: str
    place: tuple[str, str]
    file: str
    noun: str
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


_ALL = (
    Photograph(
        "astronaut", _SKIMAGE, "astronaut.png", "an astronaut",
        "NASA, public domain", subject=(0.28, 0.03, 0.72, 0.66),
    ),
    Photograph(
        "bricks", _SKIMAGE, "brick.png", "a brick wall",
        "CC0Textures, CC0",
    ),
    Photograph(
        "cat", _SKIMAGE, "chelsea.png", "a cat",
        "Stéfan van der Walt, CC0", subject=(0.2, 0.2, 0.75, 0.85),
    ),
    Photograph(
        "coffee", _SKIMAGE, "coffee.png", "a cup of coffee",
        "Rachel Michetti, CC0", subject=(0.27, 0.05, 0.72, 0.72),
    ),
    Photograph(
        "coins", _SKIMAGE, "coins.png", "old coins",
        "Brooklyn Museum, no known copyright restrictions",
    ),
    Photograph(
        "flower", _SKLEARN, "flower.jpg", "a flower",
        "vultilion, CC BY 2.0", subject=(0.33, 0.2, 0.72, 0.82),
    ),
    Photograph(
        "galaxies", _SKIMAGE, "hubble_deep_field.jpg", "distant galaxies",
        "NASA/ESA, public domain",
    ),
    Photograph(
        "gravel", _SKIMAGE, "gravel.png", "gravel",
        "CC0Textures, CC0",
    ),
    Photograph(
        "horse", _SKIMAGE, "horse.png", "a horse",
        "Andreas Preuss, CC0", subject=(0.05, 0.02, 0.95, 0.9),
    ),
    Photograph(
        "moon", _SKIMAGE, "moon.png", "the moon",
        "as scikit-image carries it, author not named", subject=(0.1, 0.08, 0.6, 0.4),
    ),
    Photograph(
        "motorcycle", _SKIMAGE, "motorcycle_left.png", "a motorcycle",
        "Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014), as scikit-image carries it",
        subject=(0.2, 0.2, 0.8, 0.85),
    ),
    Photograph(
        "page", _SKIMAGE, "page.png", "a printed page",
        "as scikit-image carries it, author not named", mirrored=False,
    ),
    Photograph(
        "photographer", _SKIMAGE, "camera.png", "a photographer",
        "Lav Varshney, CC0", subject=(0.1, 0.13, 0.62, 0.7),
    ),
    Photograph(
        "retina", _SKIMAGE, "retina.jpg", "a retina",
        "Mikael Häggström, CC0",
    ),
    Photograph(
        "rocket", _SKIMAGE, "rocket.jpg", "a rocket",
        "SpaceX, public domain", subject=(0.42, 0.25, 0.6, 0.97),
    ),
    Photograph(
        "temple", _SKLEARN, "china.jpg", "a temple",
        "danielbuechele, CC BY 2.0", subject=(0.2, 0.05, 0.66, 0.75),
    ),
    Photograph(
        "tissue", _SKIMAGE, "ihc.png", "stained tissue",
        "Center for Microscopy and Molecular Imaging (CMMI), no known copyright restrictions",
    ),
    Photograph(
        "writing", _SKIMAGE, "text.png", "handwriting",
        "Wikipedia, public domain", mirrored=False,
    ),
)  # fmt: skip

PHOTOGRAPHS: dict[str, Photograph] = {photograph.key: photograph for photograph in _ALL}
