"""What stands before a network: a spiking purifier of images, with a joint detector (Chen and Xu,
arXiv 2404.17092)."""
