"""Networks that turn images into the vectors that FID, KID, precision and recall compare.

inception.py          the FID Inception-v3, and the command that converts released weights
inception_weights.py  the released files: torch state dict, TensorFlow GraphDef
torch_file.py         tensors of a torch file, without torch and without executing its pickle
resize.py             TensorFlow 1's bilinear resize
"""
