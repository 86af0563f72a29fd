"""The verbs on a saved model: what `darl evaluate`, `darl compare` and `darl score` do, as Python functions.

    evaluate    how good is the model on these graded pairs, in and out of distribution?
    compare     is B better than A on these pairs, or is it noise?
    score       a grade, probabilities, a relevance score and an OOD percentile for every pair of a file

`fit` and `select` stand with what they do, in :mod:`darl.training` and :mod:`darl.dasa`; all five are also
``darl.fit``, ``darl.select``, ``darl.evaluate``, ``darl.compare`` and ``darl.score``.
"""
