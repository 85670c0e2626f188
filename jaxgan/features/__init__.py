"""Feature spaces for FID, KID, precision, recall and other metrics.

space.py              the spaces that `evaluate.features` selects
pixels.py             pixels as features
classifier.py         a small classifier trained on the data set's own labels
cache.py              the cache on disk for trained classifiers and features of data
inception.py          the FID Inception-v3, and the command that converts released weights
inception_weights.py  reads the released weights: torch state dict, TensorFlow GraphDef
torch_file.py         reads the tensors of a torch file, without torch and without executing its pickle
resize.py             TensorFlow 1's bilinear resize
"""
