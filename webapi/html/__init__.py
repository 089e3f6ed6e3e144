"""HTML: the event loop, event handler attributes and `MessageEvent`.

Spec: https://html.spec.whatwg.org/multipage/webappapis.html
"""
