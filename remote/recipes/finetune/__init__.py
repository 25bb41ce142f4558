"""What a recipe's ``train.py`` is made of. The folder is copied along with the script and runs beside it.

``settings``     every setting of ``config.json``; the job that all parts share
``events``       what a training says on stdout, how it writes files, and what went wrong in one sentence
``rows``         rows, their targets, and the order in which an epoch sees them
``embedding``    the frozen encoder over all rows; hidden states that need not be computed twice
``linear``       linear models on frozen embeddings; scores, temperatures and thresholds
``objective``    the loss, and the weights of its classes
``tuning``       the fine-tuning loop
``checkpoints``  going on after an interruption; repeating an earlier learning-rate schedule
``parallel``     several processes that train as one
``inference``    the encoder in two parts and the packaged model; the one part that is packed with it

Parts import each other relatively, so they are the same beside a script and in this package. Nothing is imported
here: who only asks a model need not load what trains one.
"""
