"""Formats: the forms in which a trace is written.

prediction_line  the published form, a line of a prediction file
captions         subtitles of the responses: SRT and WebVTT
table            CSV, a row a frame
trace_file       JSON that reads back to an equal trace

`mmduet.trace.DuetTrace` has a method for each.
"""
