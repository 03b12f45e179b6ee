"""The energy-versus-robustness report: numbers first (JSON, CSV), then one self-contained page.

run              a run's folder, read without trust
facts            what a report knows, as frozen dataclasses, and as JSON
analysis         from the stored records to the facts (counts: activity and energy; worst_cases;
                 comparing: two targets; single: one record; cascades; trainings: which networks are
                 one method; battery: how strong the attacks were)
gather           the same with the chip and the samples shown (rate: static energy at a rate)
tables           which tables there are (accuracy_tables, energy_tables, further, methods; rows:
                 what they share)
page             the HTML page (answer: in words; sections, evidence, made; legends)
pictures         the plots (pareto, curves; examples: attacked samples)
records          every sample and the attacked inputs (figures: plots as files)
results          several runs in one table, beside published figures (published.toml)
neurobench       the same in NeuroBench's names
"""
