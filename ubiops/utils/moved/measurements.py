from ubiops.utils.metrics.measurements import MetricPoint as MetricPoint
