"""Traces: what was seen and said in one watched video, and the forms in which it is written.

trace            DuetTrace: scores, queries and responses as plain arrays; replay under another policy
turns            what the user and the model say
prediction_line  the published form, a line of a prediction file
captions         subtitles of the responses: SRT and WebVTT
table            CSV, a row a frame
trace_file       JSON that reads back to an equal trace
exports          the files that hold a trace, by the ending of their names
"""

from mmduet.trace.exports import EXPORTS
from mmduet.trace.prediction_line import UNTIMED
from mmduet.trace.trace import DuetTrace
from mmduet.trace.turns import Query, Response, UserTurn

__all__ = ["EXPORTS", "UNTIMED", "DuetTrace", "Query", "Response", "UserTurn"]
