defmodule Python.Environment.Secrets do
  @moduledoc false

  # Passwords and tokens of package indexes. They are given to uv in its environment, and are in no argument, file,
  # key, error or progress: all that is shown goes through here.

  @mask "****"
  # Up to the last `@` of the host's part: passwords have some, too. Or with a `/` that should be written as `%2F`: what
  # stands before it is no host with a port.
  @user ~r/:\/\/([^\/\s"']+|[^\/\s"'@:]*:(?!\d*\/)[^\s"'@]+)@/
  # A user and a password alone, where the host was forgotten. What is a number there is a port.
  @hostless ~r/:\/\/([^\/\s"'@:\[\]?#]+):(?!\d{0,5}(?:[\/?#\s"',;)\]}]|\z))([^\/\s"'@?#]+)(?![^\/\s"']*@)/
  # In the query of a URL, or behind it.
  @query ~r/([?&#][^=&#\s"']*(?:token|pass|pwd|secret|sig|credential|auth|key)[^=&#\s"']*=)([^&#\s"']+)/i
  @variable ~r/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/
  @secret_name ~r/TOKEN|PASSW|PASSPHRASE|PASS(_|\z)|PW\z|(_|\A)PAT\z|_PWD\z|SECRET|CREDENTIAL|AUTH|KEY\z|USERNAME/i

  @doc "As `Kernel.inspect/1`, without what is secret in URLs, and in values of variables."
  @spec inspect(term) :: String.t()
  def inspect(term), do: term |> shown() |> Kernel.inspect(limit: 10, printable_limit: 200)

  @doc "The term without what is secret in URLs, and in values of variables."
  @spec shown(term) :: term
  # Before it is cut: the part of a URL that is left would not be known for a secret.
  def shown(term), do: hidden(term)

  defp hidden(text) when is_binary(text),
    do: if(String.valid?(text), do: mask_url(text), else: text)

  defp hidden({name, value}),
    do: {hidden(name), if(named_secret?(name), do: @mask, else: hidden(value))}

  defp hidden(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> hidden() |> List.to_tuple()

  # Its parts are not known for parts of a URL.
  defp hidden(%URI{} = uri), do: uri |> URI.to_string() |> mask_url()

  defp hidden(%{} = map) when not is_struct(map), do: Map.new(map, &hidden/1)

  defp hidden([_ | _] = list),
    do: if(List.ascii_printable?(list), do: characters(list), else: each(list))

  defp hidden(term), do: term

  defp each([one | others]), do: [hidden(one) | each(others)]
  # Of an improper list, too.
  defp each(rest), do: hidden(rest)

  defp characters(list), do: list |> List.to_string() |> mask_url() |> String.to_charlist()

  defp named_secret?(name) when is_atom(name) or is_binary(name),
    do: name |> to_string() |> name?()

  defp named_secret?([_ | _] = name),
    do: List.ascii_printable?(name) and name?(List.to_string(name))

  defp named_secret?(_name), do: false

  @doc "A text with URLs, without what stands before the `@` of one, and tokens in a query. The names of variables may stay."
  @spec mask_url(String.t()) :: String.t()
  def mask_url(text) do
    text =
      Regex.replace(@user, text, fn _all, user ->
        "://" <> if(named?(user), do: user, else: @mask) <> "@"
      end)

    text =
      Regex.replace(@hostless, text, fn all, _user, password ->
        if only_variables?(password), do: all, else: "://" <> @mask
      end)

    Regex.replace(@query, text, fn _all, name, value ->
      name <> if(only_variables?(value), do: value, else: @mask)
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

  @doc "Whether a text has a URL with a user, a password or a token that no variable names."
  @spec literal?(String.t()) :: boolean
  def literal?(text) do
    Enum.any?(Regex.scan(@user, text), fn [_, user] -> not named?(user) end) or
      Enum.any?(Regex.scan(@hostless, text), fn [_, _user, password] ->
        not only_variables?(password)
      end) or
      Enum.any?(Regex.scan(@query, text), fn [_, _name, value] -> not only_variables?(value) end)
  end

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

  @doc "The variables that a text names, with names that tell that their values are secret."
  @spec named(String.t(), map) :: map
  def named(text, env) do
    for [_, name] <- Regex.scan(@variable, text),
        is_map_key(env, name),
        into: %{},
        do: {"TOKEN_" <> name, env[name]}
  end

  @doc "The secrets of these texts and of an environment, longest first: none is cut by a shorter one."
  @spec collect([String.t()], map) :: [String.t()]
  def collect(texts, env) do
    of_urls =
      for text <- texts,
          [_, user] <- Regex.scan(@user, text),
          part <- [user | String.split(user, ":", parts: 2)],
          do: part

    hostless = for text <- texts, [_, _user, part] <- Regex.scan(@hostless, text), do: part
    of_env = for {name, value} <- env, name?(name), do: value

    (of_urls ++ hostless ++ of_env)
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
