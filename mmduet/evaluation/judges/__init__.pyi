from .answer_cache import AnswerCache as AnswerCache, kept_answers as kept_answers
from .batch import check_batch as check_batch, read_batch as read_batch, write_batch as write_batch
from .endpoint_judge import OPENAI_URL as OPENAI_URL, EndpointJudge as EndpointJudge
from .judge import (
    Workload as Workload,
    check_any_rated as check_any_rated,
    errors as errors,
    estimate as estimate,
    rate as rate,
)
from .local import LocalJudge as LocalJudge
from .rating import (
    ChatJudge as ChatJudge,
    Judge as Judge,
    Pair as Pair,
    Rating as Rating,
    Rubric as Rubric,
    prompt as prompt,
    read_rating as read_rating,
)
