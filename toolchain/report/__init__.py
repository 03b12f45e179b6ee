"""The energy-versus-robustness report: numbers first (JSON, CSV), then one self-contained page.

run         a run's folder, read without trust
analysis    from the stored records to every number, as plain JSON values
facts       the same with the chip, the checks and the samples shown: everything that a report holds
tables      which tables there are (table: a table as data and as CSV)
answer      the answer in words
pictures    the plots (marks: what they are made of; examples: attacked samples)
page        the HTML page (html: its parts; style.css, script.js)
neurobench  the same in NeuroBench's names
"""
