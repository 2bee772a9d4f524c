"""Reports: suites of notebook runs, executed by papermill, exported as offline HTML pages with an index.

`check_injected`, `record_metrics` and `record_thumbnail` are for notebooks. `mmduet report` calls `run_suite`.
papermill and nbconvert, which are slow to import, are imported when they are needed.

suite        a YAML file that lists runs and matrices of runs
batch        a suite run from end to end
plan         what a suite will run, in which order, and what is done already
resources    what a run needs of its worker
pool         where runs are performed: this process, or a cluster
cluster      the workers of Dask as a pool
scheduler    a cluster started on this machine or another engine, or one that is there
cluster_file a YAML file that says which jobs are the workers
remote       one run at a worker of Dask, watched
worker       one run, from its notebook to a report that is ready to be written
publication  reports and logs written to the folder
board        what each run is doing now
log          what running runs printed
execution    one notebook run by papermill in a fresh kernel
parameters   the `parameters` cell of a notebook, and checks of given values
notebooks    notebooks read and checked
records      what ran, when, on which machine, with which result
metrics      the key numbers that a notebook records
thumbnails   the small picture that a notebook records
export       an executed notebook as one HTML page that works offline
outputs      outputs of cells made safe for such a page
prose        Markdown cells as HTML
index        the pages that compare runs
trace_page   one watched video as such a page, for `mmduet watch`
clip         a clip as such a page embeds it, from 0 s on
slots        the files of each report, and the reports that newer ones replaced
credentials  passwords and keys, masked
templates/   the pages' HTML, CSS and JavaScript
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
