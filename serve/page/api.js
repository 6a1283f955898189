// Requests to the service. Every failure is a Problem with a code that problems.js explains.

export class Problem extends Error {
  constructor(code, message, { status = 0, requestId = "", retryAfter = 0 } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }
}

const TOKEN_KEY = "ocr-trt-token";

export class Api {
  /** The token; "" if none is known. It is kept until the tab is closed. */
  get token() {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  }

  set token(value) {
    sessionStorage.setItem(TOKEN_KEY, value);
  }

  #headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /** Return the response of a GET request. */
  async get(path) {
    let response;
    try {
      response = await fetch(path, { headers: this.#headers() });
    } catch {
      throw unreachable();
    }
    if (!response.ok) {
      throw problemFrom(await response.text(), response.status, (name) => response.headers.get(name));
    }
    return response;
  }

  /**
   * Post a file and return the body of the answer as a Blob.
   * fetch() cannot report the progress of an upload, so this uses XMLHttpRequest.
   */
  post(path, file, { signal, onUpload = () => {} } = {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      request.responseType = "blob";
      const headers = { ...this.#headers(), "Content-Type": "application/octet-stream" };
      for (const [name, value] of Object.entries(headers)) {
        request.setRequestHeader(name, value);
      }
      request.upload.onprogress = (event) => event.lengthComputable && onUpload(event.loaded / event.total);
      request.upload.onload = () => onUpload(1);
      request.onerror = () => reject(unreachable());
      request.onabort = () => reject(new Problem("canceled", "You canceled the request."));
      request.onload = async () => {
        if (request.status === 200) {
          resolve(request.response);
        } else {
          const text = await request.response.text();
          reject(problemFrom(text, request.status, (name) => request.getResponseHeader(name)));
        }
      };
      signal?.addEventListener("abort", () => request.abort());
      if (signal?.aborted) {
        reject(new Problem("canceled", "You canceled the request."));
      } else {
        request.send(file);
      }
    });
  }
}

function unreachable() {
  return new Problem("network", "The service does not answer.");
}

function problemFrom(text, status, header) {
  const more = {
    status,
    requestId: header("X-Request-Id") ?? "",
    retryAfter: Number(header("Retry-After") ?? 0),
  };
  try {
    const { code, message } = JSON.parse(text).error;
    return new Problem(String(code), String(message), more);
  } catch {
    // Not from the service, but for example from a proxy in front of it.
    return new Problem("unexpected", `The answer has status ${status} and no description.`, more);
  }
}
