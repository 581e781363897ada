from ubiops.utils.batches.results import MappedRequest as MappedRequest
