defmodule Python.Environment.Secrets do
  @moduledoc false

  # Passwords and tokens of package indexes. They are given to uv in its environment, and are in no argument, file,
  # key, error or progress: all that is shown goes through here.

  @mask "****"
  # Up to the last `@` of the host's part: passwords have some, too.
  @user ~r/:\/\/([^\/\s"']+)@/
  @variable ~r/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/
  @secret_name ~r/TOKEN|PASSW|SECRET|CREDENTIAL|AUTH|_KEY\z|USERNAME/i

  @doc "As `Kernel.inspect/1`, without what stands before the `@` of a URL."
  @spec inspect(term) :: String.t()
  def inspect(term), do: term |> Kernel.inspect(limit: 10, printable_limit: 200) |> mask_url()

  @doc "A text with URLs, without what stands before the `@` of one. The names of variables may stay."
  @spec mask_url(String.t()) :: String.t()
  def mask_url(text) do
    Regex.replace(@user, text, fn _all, user ->
      "://" <> if(named?(user), do: user, else: @mask) <> "@"
    end)
  end

  # The name of a user is no secret beside a password.
  defp named?(user) do
    case String.split(user, ":", parts: 2) do
      [_user, password] when password != "" -> only_variables?(password)
      [user | _] -> only_variables?(user)
    end
  end

  defp only_variables?(text), do: Regex.replace(@variable, text, "") == ""

  @doc "Whether a text has a URL with a user or a password that no variable names."
  @spec literal?(String.t()) :: boolean
  def literal?(text), do: Enum.any?(Regex.scan(@user, text), fn [_, user] -> not named?(user) end)

  @doc "A URL without a user and a password."
  @spec without(String.t()) :: String.t()
  def without(url), do: Regex.replace(@user, url, "://")

  @doc "Whether the value of an environment variable of this name is a secret."
  @spec name?(String.t()) :: boolean
  def name?(name), do: name =~ @secret_name

  @doc "The URL with the values of its variables, `${NAME}`, or the names of those that are not set."
  @spec expand_url(String.t(), map) :: {:ok, String.t()} | {:error, [String.t()]}
  def expand_url(url, env) do
    names = for [_, name] <- Regex.scan(@variable, url), do: name

    case Enum.reject(names, &is_map_key(env, &1)) do
      [] ->
        {:ok,
         Regex.replace(@variable, url, fn _all, name -> env |> Map.fetch!(name) |> quoted() end)}

      missing ->
        {:error, Enum.uniq(missing)}
    end
  end

  # A password may have characters that would end its part of a URL. What is quoted already stays.
  defp quoted(value), do: URI.encode(value, &(URI.char_unreserved?(&1) or &1 in ~c"%!$&'()*+,;="))

  @doc "The secrets of these texts and of an environment, longest first: none is cut by a shorter one."
  @spec collect([String.t()], map) :: [String.t()]
  def collect(texts, env) do
    of_urls =
      for text <- texts,
          [_, user] <- Regex.scan(@user, text),
          part <- [user | String.split(user, ":", parts: 2)],
          do: part

    of_env = for {name, value} <- env, name?(name), do: value

    (of_urls ++ of_env)
    |> Enum.flat_map(&[&1, URI.decode(&1), URI.encode_www_form(&1)])
    |> Enum.uniq()
    # What is this short hides nothing, and is in every word.
    |> Enum.filter(&(String.length(&1) > 3))
    |> Enum.sort_by(&(-byte_size(&1)))
  end

  @doc "The text without these secrets."
  @spec mask(String.t(), [String.t()]) :: String.t()
  def mask(text, []), do: text
  def mask(text, secrets), do: String.replace(text, secrets, @mask)
end
