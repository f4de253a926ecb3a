"""What options are worth: ``black76`` in integers for what settles, ``vectors`` in floats for what is shown.

``normal`` holds the integer logarithm, exponential and normal distribution under ``black76``.
"""
