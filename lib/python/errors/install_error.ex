defmodule Python.InstallError do
  @moduledoc """
  An environment of Python could not be made, or packages could not be installed.

  `Python.install/2`, `mix python.lock` and `mix python.install` return or print it. What was there before is as it was:
  nothing is left half-made.

  ## Fields

    * `:reason` - an atom to match, see below;
    * `:message` - what failed;
    * `:remedy` - what to do;
    * `:output` - the text that uv printed, or `""`. Passwords and tokens are replaced by `****`;
    * `:details` - a map with the parts of the message.

  ## Reasons

  | reason | meaning |
  |---|---|
  | `:no_python` | there is no Python that fits |
  | `:no_uv` | uv was not found and could not be downloaded |
  | `:wrong_hash` | a downloaded file is not the one that was expected |
  | `:failed` | uv failed: the output says why |
  | `:network` | an index or a mirror did not answer, or refused |
  | `:offline` | without a network, something is missing |
  | `:timeout` | uv did not end in time |
  | `:not_locked` | the lock does not fit to what is asked for |
  | `:not_installed` | there is no environment yet, or it is out of step |
  | `:imported` | a package that Python has imported would be replaced |
  | `:read_only` | the folder of the environments cannot be written |
  | `:no_space` | the disk is full |
  | `:missing_variable` | an environment variable that a URL names is not set |
  | `:invalid` | a file or folder that is named is missing or invalid |

  ## Examples

      iex> error = Python.InstallError.new(:no_uv, "uv was not found", remedy: "Install uv.")
      iex> Exception.message(error)
      "uv was not found. Install uv."
  """

  @type t :: %__MODULE__{
          reason: atom,
          message: String.t(),
          remedy: String.t() | nil,
          output: String.t(),
          details: map
        }

  @enforce_keys [:reason, :message]
  defexception [:reason, :message, :remedy, output: "", details: %{}]

  @doc false
  @spec new(atom, String.t(), keyword) :: t
  def new(reason, message, options \\ []) do
    struct!(__MODULE__, [{:reason, reason}, {:message, message} | options])
  end

  @doc """
  Returns what failed, uv's text and the remedy.

  ## Examples

      iex> Exception.message(%Python.InstallError{reason: :failed, message: "uv failed", output: "No solution found"})
      "uv failed:\\n\\nNo solution found"
  """
  @impl true
  def message(%__MODULE__{output: "", remedy: nil, message: message}), do: message <> "."

  def message(%__MODULE__{output: "", remedy: remedy, message: message}),
    do: "#{message}. #{remedy}"

  def message(%__MODULE__{remedy: nil} = error), do: "#{error.message}:\n\n#{error.output}"

  def message(%__MODULE__{} = error),
    do: "#{error.message}:\n\n#{error.output}\n\n#{error.remedy}"
end
