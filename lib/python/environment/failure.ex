defmodule Python.Environment.Failure do
  @moduledoc false

  # What a failure is about, from the text of uv, pip or the system, and what to do about it. The text itself is in the
  # error: the reasons below are for a program to match and for the remedy.

  alias Python.InstallError

  # The first that fits holds: a full disk may be told by a server's file that could not be kept.
  @kinds [
    {:no_space, ~r/No space left on device|os error 28|Disk quota exceeded|ENOSPC/i,
     "Make room on the disk, or set the key :cache of the setting python (or ERLANG_PYTHON_CACHE) to a folder on another one."},
    {:wrong_hash, ~r/hash mismatch|do not match the hashes|DO NOT MATCH THE HASHES/i,
     "A file of the index is not the one that was locked. If that is meant to be, run `mix python.lock` again; else do not trust it."},
    {:network,
     ~r/invalid peer certificate|UnknownIssuer|CERTIFICATE_VERIFY_FAILED|self.signed certificate/i,
     "The server's certificate is not trusted. Name the file with the certificate of your authority: " <>
       ~s(SSL_CERT_FILE in the key :env of the setting python, such as env: %{"SSL_CERT_FILE" => "/etc/ssl/company.pem"}.)},
    {:network,
     ~r/\b401\b|\b403\b|Unauthorized|Forbidden|Could not authenticate|Missing credentials/i,
     "The index asks for a user and a password, or refuses them. Give them in its URL, by environment variables: " <>
       "https://${INDEX_USER}:${INDEX_TOKEN}@…"},
    {:offline,
     ~r/network was disabled|network connectivity is disabled|\(offline|`--offline`|offline mode/i,
     "What is needed is neither in uv's cache nor in :find_links. Run it once with a network, or put the wheels in a " <>
       "folder that :find_links names."},
    {:network,
     ~r/error sending request|failed to fetch|failed to download|dns error|connection refused|connection reset|timed out|Temporary failure in name resolution|Max retries exceeded|NewConnectionError|tunnel error|proxy|\b50[0234]\b/i,
     "Check the network and the URL of the index. A proxy is set by HTTPS_PROXY, a slow line by UV_HTTP_TIMEOUT (s). " <>
       "Then run it again: what has been downloaded is kept."},
    {:read_only,
     ~r/Read-only file system|Permission denied|os error 30|os error 13|EACCES|EROFS/i,
     "Give this user the right to write there, or set the key :cache of the setting python (or ERLANG_PYTHON_CACHE; for " <>
       "uv's own files UV_CACHE_DIR) to a folder that can be written."},
    {:failed, ~r/No solution found|unsatisfiable|not found in the package registry/i,
     "Change the versions that are asked for, or the version of Python."},
    {:failed, ~r/incompatible with the project's Python requirement/i,
     "Change the key :version of the setting python, or requires-python in the pyproject.toml."},
    {:failed, ~r/Failed to build|build backend/i,
     "There is no wheel for this Python and system, and building the package here failed. Take another version of the " <>
       "package or of Python, or install what the build needs."}
  ]

  @doc "The error of a program that has failed. `doing`: what it was to do, as a part of a sentence."
  @spec program(String.t(), Python.Program.failure()) :: InstallError.t()
  def program(doing, {:exit, status, output}) do
    {reason, remedy} = kind(output)

    InstallError.new(reason, "#{doing} failed",
      remedy: remedy,
      output:
        if(output == "", do: "It ended with status #{status} and said nothing", else: output),
      details: %{status: status}
    )
  end

  def program(doing, {:timeout, output}) do
    InstallError.new(:timeout, "#{doing} took too long", output: output, remedy: "Try it again.")
  end

  def program(doing, {:no_start, text}) do
    InstallError.new(:no_uv, "#{doing} failed: the program could not be started: #{text}")
  end

  @doc "The error of a file that could not be written."
  @spec file(File.posix(), Path.t()) :: InstallError.t()
  def file(posix, path) do
    {reason, remedy} =
      case posix do
        reason when reason in [:enospc, :edquot] -> kind("ENOSPC")
        reason when reason in [:eacces, :eperm, :erofs] -> kind("EACCES")
        _ -> {:failed, nil}
      end

    InstallError.new(reason, "#{path} could not be written: #{:file.format_error(posix)}",
      remedy: remedy,
      details: %{path: path}
    )
  end

  @doc "What a text is about, and what to do."
  @spec kind(String.t()) :: {atom, String.t() | nil}
  def kind(text) do
    Enum.find_value(@kinds, {:failed, nil}, fn {reason, pattern, remedy} ->
      if text =~ pattern, do: {reason, remedy}
    end)
  end
end
