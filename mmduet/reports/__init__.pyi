from .batch import Outcome as Outcome, SuiteResult as SuiteResult, check_suite as check_suite, run_suite as run_suite
from .execution import Execution as Execution, execute as execute
from .export import export_html as export_html
from .metrics import record_metrics as record_metrics
from .parameters import check_injected as check_injected, check_parameters as check_parameters
from .suite import load_suite as load_suite
from .thumbnails import record_thumbnail as record_thumbnail
