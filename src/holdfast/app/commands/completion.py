"""``holdfast completion``: scripts that let shells complete command lines, made from the parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.app.runner import EXIT_DONE

if TYPE_CHECKING:
    import argparse

    from holdfast.app.command_lines import Argument, CommandLine
    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner

_SHELLS = ("bash", "zsh", "fish")
_DEFAULT_COMMAND = "process"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast completion``."""
    parser.add_argument(
        "shell",
        choices=_SHELLS,
        metavar="SHELL",
        help="bash, zsh or fish. bash: holdfast completion bash > ~/.local/share/bash-completion/completions/holdfast; "
        "zsh: ... > a directory of $fpath, as _holdfast; fish: ... > ~/.config/fish/completions/holdfast.fish",
    )


def completion(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # every command has one
    """Print the script of a shell."""
    from holdfast.app.command_lines import describe_commands  # noqa: PLC0415  # it makes the parsers of all commands

    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell]
    runner.stdout.write(make(describe_commands()).encode())
    return EXIT_DONE


# --- bash ---

_BASH = """\
# bash completion for holdfast, made by: holdfast completion bash
# Needs bash 4.4 or later.

_holdfast() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=process index
    # --option=value is three words: bash breaks at the sign.
    if [[ $word == '=' ]]; then
        word=
    elif [[ $before == '=' && COMP_CWORD -ge 2 ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    COMPREPLY=()
    if ((COMP_CWORD >= 2)); then
        case ${COMP_WORDS[1]} in
            @COMMANDS@) command=${COMP_WORDS[1]} ;;
        esac
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        if [[ ${COMP_WORDS[index]} == '--' ]]; then
            _holdfast_files
            return
        fi
    done
    case "$command $before" in
@VALUES@
    esac
    case $word in
        -*)
            local options
            case $command in
@OPTIONS@
            esac
            mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
            return
            ;;
    esac
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '@WORDS@' -- "$word"; compgen -f -- "$word")
        compopt -o filenames 2> /dev/null
        return
    fi
    case $command in
@POSITIONAL@
        *) _holdfast_files ;;
    esac
}

_holdfast_files() {
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    compopt -o filenames 2> /dev/null
}

complete -F _holdfast holdfast
"""


def _bash(commands: list[CommandLine]) -> str:
    values, options, positional = [], [], []
    for command in commands:
        for option in command.options:
            if option.metavar:
                pattern = "|".join(f"'{command.name} {name}'" for name in option.names)
                values.append(f"        {pattern}) {_bash_values(option)}; return ;;")
        names = " ".join(name for option in command.options for name in option.names)
        options.append(f"                {command.name}) options='{names}' ;;")
        if not any(each.takes_files for each in command.positional):
            words = " ".join(word for each in command.positional for word in each.words)
            positional.append(f"        {command.name}) {_bash_words(words)} ;;")
    return _fill(
        _BASH,
        COMMANDS="|".join(command.name for command in commands),
        VALUES="\n".join(values),
        OPTIONS="\n".join(options),
        WORDS=" ".join(command.name for command in commands),
        POSITIONAL="\n".join(positional),
    )


def _bash_values(option: Argument) -> str:
    words = " ".join(option.words)
    if option.takes_files and words:
        return f"_holdfast_files; mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen -W '{words}' -- \"$word\")"
    return "_holdfast_files" if option.takes_files else _bash_words(words)


def _bash_words(words: str) -> str:
    return f"mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$word\")" if words else ":"


# --- zsh ---

_ZSH = """\
#compdef holdfast
# zsh completion for holdfast, made by: holdfast completion zsh

@FUNCTIONS@

_holdfast() {
    local -a commands
    commands=(
@COMMANDS@
    )
    if ((CURRENT > 2 && $+functions[_holdfast_${words[2]}])); then
        local command=${words[2]}
        shift words
        ((CURRENT--))
        _holdfast_$command
        return
    fi
    if ((CURRENT == 2)) && [[ $PREFIX != -* ]]; then
        _describe -t commands command commands
    fi
    _holdfast_@DEFAULT@
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _holdfast "$@"
else
    compdef _holdfast holdfast
fi
"""


def _zsh(commands: list[CommandLine]) -> str:
    return _fill(
        _ZSH,
        FUNCTIONS="\n\n".join(_zsh_function(command) for command in commands),
        COMMANDS="\n".join(
            f"        {_zsh_quoted(f'{command.name}:{command.summary}')}" for command in commands
        ),
        DEFAULT=_DEFAULT_COMMAND,
    )


def _zsh_function(command: CommandLine) -> str:
    specifications = [_zsh_option(option) for option in command.options]
    for each in command.positional:
        many = "*" if each.is_repeated else "1"
        specifications.append(_zsh_quoted(f"{many}:{each.metavar}:{_zsh_action(each)}"))
    lines = " \\\n        ".join(specifications)
    return f"_holdfast_{command.name}() {{\n    _arguments -S \\\n        {lines}\n}}"


def _zsh_option(option: Argument) -> str:
    text = option.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    value = f":{option.metavar.replace(':', chr(92) + ':')}:{_zsh_action(option)}" if option.metavar else ""
    rest = _zsh_quoted(f"[{text}]{value}")
    # A value may follow a long name after = as well, and a short one directly.
    names = [f"{name}{'' if not value else '=' if name.startswith('--') else '+'}" for name in option.names]
    before = _zsh_quoted("*" if option.is_repeated else f"({' '.join(option.names)})")
    return f"{before}{{{','.join(names)}}}{rest}" if len(names) > 1 else f"{before}{names[0]}{rest}"


def _zsh_action(each: Argument) -> str:
    # A bare colon would end the action.
    words = " ".join(word.replace(":", "\\:") for word in each.words)
    if each.takes_files:
        return f'{{_alternative "words\\:word\\:({words})" "files\\:file\\:_files"}}' if words else "_files"
    return f"({words})" if words else " "


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish ---

_FISH = """\
# fish completion for holdfast, made by: holdfast completion fish

# The command of a command line: the first word, if it is a command, else process.
function __holdfast_command
    set -l words (commandline -opc)
    if set -q words[2]; and contains -- $words[2] @NAMES@
        echo $words[2]
    else
        echo @DEFAULT@
    end
end

function __holdfast_is
    test (__holdfast_command) = $argv[1]
end

function __holdfast_is_first
    test (count (commandline -opc)) -eq 1
end

@LINES@
"""


def _fish(commands: list[CommandLine]) -> str:
    lines = [
        f"complete -c holdfast -n __holdfast_is_first -a {command.name} -d {_fish_quoted(command.summary)}"
        for command in commands
    ]
    for command in commands:
        condition = f"complete -c holdfast -n '__holdfast_is {command.name}'"
        for each in command.positional:
            if not each.takes_files:
                words = f" -a {_fish_quoted(' '.join(each.words))}" if each.words else ""
                lines.append(f"{condition} -f{words}")
        lines += [f"{condition} {_fish_option(option)}" for option in command.options]
    return _fill(
        _FISH,
        NAMES=" ".join(command.name for command in commands),
        DEFAULT=_DEFAULT_COMMAND,
        LINES="\n".join(lines),
    )


def _fish_option(option: Argument) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    values = ""
    if option.metavar:
        values = " -r -F" if option.takes_files else " -x"
        values += f" -a {_fish_quoted(' '.join(option.words))}" if option.words else ""
    return f"{names}{values} -d {_fish_quoted(option.help)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fill(script: str, **parts: str) -> str:
    for name, text in parts.items():
        script = script.replace(f"@{name}@", text)
    return script
