"""The parts that every page of ours is made of: inline SVG, plots, tables, numbers as text, and the
page around them."""
