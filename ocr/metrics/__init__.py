"""How good a reading is: the measures of the field, as pure functions."""
