"""The ports of Consul that the formula uses, unless ``consul:config:ports`` sets others."""

#: Of the servers, for calls of all agents.
SERVER = 8300
#: Of all agents, for their gossip.
GOSSIP = 8301
#: Of the API and of the names on a host; with TLS the API has HTTPS alone.
HTTP = 8500
HTTPS = 8501
DNS = 8600
