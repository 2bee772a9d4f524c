from .duet import DuetConfig as DuetConfig, DuetForConditionalGeneration as DuetForConditionalGeneration
from .processing import DuetProcessor as DuetProcessor
