"""
A renderer that stands between Jinja and YAML: what an SLS has become must be clean YAML by the rules of .yamllint. Of
two equal keys YAML would take the last one and say nothing.
"""

import clean_yaml
from salt.exceptions import SaltRenderError


def render(data, saltenv="base", sls="", **_):
    """Return the text as it came; raises SaltRenderError with each fault and its line."""
    text = data if isinstance(data, str) else data.read()
    if found := clean_yaml.faults(text):
        raise SaltRenderError(f"{sls} is no clean YAML when rendered:\n" + "\n".join(found))
    return text
