"""Training: experiments, which are versions of one deployment, and their runs, which are requests to them."""
