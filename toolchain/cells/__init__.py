"""Resumable cells: pieces of work that are keyed by their content, computed in parallel, kept as
they finish, never twice.

cell = Cell("package.module:function", job, key, ...)         engine: what one is, and run(), which
computes what is missing
of("package.module")                                          maker: the code and versions that a
    result rests on
with Store(folder) as store: ...                              store: one SQLite file, one
transaction for each cell with Pool(workers) as crew: ...                               pool:
processes of this machine, over pipes, no port with cluster(scheduler) as crew: ...
remote: a Dask cluster that runs already

closure, source   every module on the way to a result, and what a file does
work              one cell, where it is computed
lock              one run in a folder at a time
"""
