"""Colours of figures, players and reports. A head has the same colour in all of them.

They stay distinct for colour-blind readers (after Okabe and Ito), and each has a contrast of at least 3 to a light
and to a dark page.
"""

HEAD_COLORS = {"informative": "#1283C8", "relevance": "#D55E00", "reply": "#1283C8"}  # a trace has both heads or reply
RESPONSE_COLOR = "#00805F"
QUERY_COLOR = "#C46B9C"
SPAN_COLOR = "#ECCB83"
DECISION_COLOR = "#9467BD"  # the decision curve, where it is not a head's
SERIES_COLORS = ("#1283C8", "#D55E00", RESPONSE_COLOR, QUERY_COLOR, "#2E9BA6", "#A07A2A")  # of other curves, in turn
INK = "#787d85"  # text and neutral lines: contrast 4.2 on white, 4.5 on #111
GRID = "rgba(128,128,128,0.22)"
