"""The energy-versus-robustness report: numbers first (JSON, CSV), then one self-contained page.

analysis   from the stored records of a run to every number that the page shows
tables     the same as CSV
page       the HTML page
neurobench the same as a NeuroBench result
"""
