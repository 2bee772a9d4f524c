"""Traces: what was seen and said in one watched video.

trace    DuetTrace: scores, queries and responses as plain arrays; replay under another policy
exports  the files that hold a trace, by the ending of their names
"""

from mmduet.events import Query, Response, UserTurn
from mmduet.formats.prediction_line import UNTIMED
from mmduet.trace.exports import EXPORTS
from mmduet.trace.trace import DuetTrace

__all__ = ["EXPORTS", "UNTIMED", "DuetTrace", "Query", "Response", "UserTurn"]
