"""Services: HTTP and WebSockets to the ports of deployment versions."""
