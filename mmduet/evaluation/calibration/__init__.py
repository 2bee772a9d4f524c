"""Calibration: choose a policy from scored frames, without the model, and report what it gives on other videos.

target      what is wanted, such as a rate of responses
candidates  the policies that are tried
calibrate   the choice on one half of the videos, and its figures on the other
"""

from mmduet.evaluation.calibration.calibrate import Calibration, calibrate
from mmduet.evaluation.calibration.candidates import Candidate, candidates_for
from mmduet.evaluation.calibration.target import Target, parse_target

__all__ = ["Calibration", "Candidate", "Target", "calibrate", "candidates_for", "parse_target"]
