"""Tables, page, figures, checklists and model cards of a benchmark."""
