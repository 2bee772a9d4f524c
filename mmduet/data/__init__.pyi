from .collator import Collator as Collator
from .feature_cache import FeatureCache as FeatureCache, fingerprint as fingerprint, write_features as write_features
from .kinds import KINDS as KINDS, AnnotationKind as AnnotationKind, known_kinds as known_kinds
from .mixture import MixtureDataset as MixtureDataset
from .scenes import make_scenes as make_scenes
from .statistics import mixture_frame as mixture_frame, response_gaps as response_gaps
from .templates import read_templates as read_templates
from .unreadable import UnreadableVideos as UnreadableVideos
from .world import make_world as make_world
