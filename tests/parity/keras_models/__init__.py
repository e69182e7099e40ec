"""The zoo once more, from Keras's own layers, after the papers and the notebooks: nothing here knows our builders."""
