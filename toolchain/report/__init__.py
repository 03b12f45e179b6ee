"""The energy-versus-robustness report: numbers first (JSON, CSV), then one self-contained page.

run         a run's folder, read without trust
analysis    from the stored records to every number, as plain JSON values
facts       the same with the chip, the checks and the samples shown: everything that a report holds
tables      which tables there are (table: a table as data and as CSV)
answer      the answer in words
pictures    the plots (marks: what they are made of; examples: attacked samples)
further     tables that not every run has
methods     networks that differ in the seed of their training alone, together
counts      activity and energy of records
results     several runs in one table, beside published figures (published.toml)
page        the HTML page (html: its parts; style.css, script.js)
neurobench  the same in NeuroBench's names
"""
